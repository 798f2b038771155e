"""What the documentation is made of; `python -m docs.build` makes it."""
