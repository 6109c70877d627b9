"""Texts to vectors: ONNX models, batching, where models come from. ONNX Runtime and tokenizers stay in here."""
