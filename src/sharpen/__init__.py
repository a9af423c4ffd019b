"""sharpen makes a language model better from its own outputs, and proves it."""
