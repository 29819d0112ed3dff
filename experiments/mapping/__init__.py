"""Files of `cnnzoo map`: pictures, outlines and measures of each photograph, and a page with all of them."""
