"""What happens to memories over their life: long work as jobs, and the kinds of it; packages, out and back."""
