"""Section 3 of the paper: solved, built by hand, learned, and on one page."""
