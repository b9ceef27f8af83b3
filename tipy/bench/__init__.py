"""`python3 -m tipy bench`: how fast this stack is on this machine, beside the Linux kernel, in 20 seconds."""
