"""Where images come from: a user's folder, METU, or drawn concrete; `find` knows which."""
