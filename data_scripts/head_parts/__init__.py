"""The parts of `data_scripts/anny_head.py`: what is read, what is sampled, what is labelled."""
