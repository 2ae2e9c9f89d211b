"""Operations on tensors without data."""
