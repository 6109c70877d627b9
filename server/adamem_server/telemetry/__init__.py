"""What the server says about itself while it runs. Any room may import it; it imports none."""
