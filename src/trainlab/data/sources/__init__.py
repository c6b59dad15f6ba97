"""Where images and points come from: one file a data set, each with a ``load(...)`` that returns `DataSplits`."""
