"""What a command line or a shell script calls, connects to, reads and writes. Parsed, never run."""
