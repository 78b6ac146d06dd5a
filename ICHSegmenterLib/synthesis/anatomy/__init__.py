"""What a head is made of: its shape, skull, brain, vessels and dura."""
