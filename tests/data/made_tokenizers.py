"""Tokenizers of every kind that published models come with, trained in milliseconds."""

from __future__ import annotations

from functools import cache

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = [
    "To be, or not to be: that is the question. \n\nWhether 'tis nobler",
    "in the mind to suffer\nThe slings and arrows   of outrageous fortune, 1234 times…",
    "Größe und Übermut, déjà vu, naïve; 東京都 は 日本 の 首都。 \tif x == 1:\r\n\treturn x + 1",
    "don't we'll I'm ... !!! ---- #### 12 345 6789 👋🏽 e\u0301tude A\u00a0B",
] * 3  # fmt: skip
# As of Llama 3: what is joined with the line's end that follows it is a word.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _trained(model, trainer, normalizer=None, words=None, decoder=None):
    made = Tokenizer(model)
    for name, value in (("normalizer", normalizer), ("pre_tokenizer", words), ("decoder", decoder)):
        if value is not None:
            setattr(made, name, value)
    made.train_from_iterator(WORDS, trainer)
    return made


def _bpe(size=400, **more):
    return trainers.BpeTrainer(vocab_size=size, show_progress=False, **more)


def _alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def gpt2(prefix=False):
    words = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made = _trained(
        models.BPE(), _bpe(initial_alphabet=_alphabet()), words=words, decoder=decoders.ByteLevel()
    )
    made.add_special_tokens(["<|endoftext|>"])
    return made


def llama3():
    words = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    made = _trained(
        models.BPE(), _bpe(initial_alphabet=_alphabet()), words=words, decoder=decoders.ByteLevel()
    )
    made.add_special_tokens(["<|begin|>"])
    made.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", made.token_to_id("<|begin|>"))]
    )
    made.enable_truncation(16)
    made.enable_padding(length=16)
    return made


def llama2():
    """No words at all: blanks become a letter of the text, and one is put before it."""
    pieces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bare = Tokenizer(_trained(models.BPE(), _bpe(), words=pre_tokenizers.Metaspace()).model)
    bare.normalizer = pieces
    return bare


def metaspace(scheme):
    return _trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=300, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"]
        ),
        normalizer=normalizers.NFKC(),
        words=pre_tokenizers.Metaspace(prepend_scheme=scheme),
        decoder=decoders.Metaspace(prepend_scheme=scheme),
    )


def bert():
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, show_progress=False, special_tokens=["[UNK]", "[CLS]"]
    )
    return _trained(
        models.WordPiece(unk_token="[UNK]"), trainer, normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(),
    )  # fmt: skip


def over_words():
    """Tokens that go over blanks: no blank between two letters is a place to cut for it."""
    words = pre_tokenizers.Split(Regex(r"\n"), "isolated")
    return _trained(models.BPE(unk_token="<unk>"), _bpe(special_tokens=["<unk>"]), words=words)


def with_added():
    made = gpt2()
    made.add_tokens([AddedToken("to be", lstrip=True, rstrip=True), AddedToken("x\ny")])
    return made


KINDS = {
    "gpt2": gpt2,
    "gpt2-prefix": lambda: gpt2(prefix=True),
    "llama3": llama3,
    "llama2": llama2,
    "metaspace-first": lambda: metaspace("first"),
    "metaspace-always": lambda: metaspace("always"),
    "metaspace-never": lambda: metaspace("never"),
    "bert": bert,
    "over-words": over_words,
    "with-added": with_added,
}  # fmt: skip


@cache
def document(kind: str) -> str:
    return KINDS[kind]().to_str()


def made_tokenizer(kind: str) -> Tokenizer:
    return Tokenizer.from_str(document(kind))
