"""The figures of the studies, one file for each study that draws more than a line or two: slides of 1280×720."""
