"""Speed, measured in one run on whatever machine there is: this project, a bare loop and the usual ways."""
