"""What people look at in a browser: one self-contained HTML file, from the records alone; and W&B's dashboards."""
