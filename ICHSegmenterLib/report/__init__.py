"""What is written for people to read: output folder, overview picture, report page."""
