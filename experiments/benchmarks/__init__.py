"""What the bench command measures: each figure beside its limit and beside what a user would pick instead."""
