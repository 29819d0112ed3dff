"""Images that stay on the GPU: `batches` cuts them there, `augment` changes them there as drawn."""
