"""What the two guests of test_two_guests.py run; nothing here is a test."""
