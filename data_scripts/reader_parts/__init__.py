"""What `train_readers.py` is made of: its pictures, and what training and measuring share."""
