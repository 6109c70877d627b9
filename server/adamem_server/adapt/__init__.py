"""Online adaptation: pairs of question and memory in, a small trained layer on queries out; no I/O, no threads."""
