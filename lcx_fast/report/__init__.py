"""What is written about an image: JSON and pictures."""
