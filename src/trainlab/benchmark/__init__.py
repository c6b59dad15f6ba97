"""Speed, measured in one run on whatever machine there is: this project beside a bare loop and beside the usual ways."""
