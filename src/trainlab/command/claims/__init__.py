"""scripts/claims.py: every claim with its figures, checked anew, and the tables of the pages that come from them."""
