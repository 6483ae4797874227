"""The device of a virtual machine's vsock: each module by itself, and in one piece."""
