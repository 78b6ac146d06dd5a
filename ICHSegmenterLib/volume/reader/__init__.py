"""Reading of exams in a process of its own, which a damaged file may crash, stall or fill instead of ours."""
