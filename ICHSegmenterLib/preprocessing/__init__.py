"""From a CT volume to what networks see, and exactly back."""
