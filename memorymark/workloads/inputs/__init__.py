"""What a batch of a Hugging Face model holds, by task: the tensors that its processor makes."""
