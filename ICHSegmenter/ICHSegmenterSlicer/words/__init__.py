"""What the library hands over as codes, in the language of the user."""
