@echo off
net use P: \\DB1\dumps /persistent:yes
net use Q: \\DB10\dumps
