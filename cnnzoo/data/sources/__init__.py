"""Where images come from: a user's folder, METU, or synthetic concrete; `find` knows which."""
