"""What is typed: parsing, checks, help, and the bodies of the scripts."""
