"""The lecture as one page: its headings, and what has been run of each."""
