"""What is written where nothing can be written any more, and what is mounted from where nothing is left."""
