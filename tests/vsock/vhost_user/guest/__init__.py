"""What a guest is given to run, for test_qemu.py."""
