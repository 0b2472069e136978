"""Makes src/tokenizer/testdata: small tokenizers of every kind, and what the reference libraries encode with them.

    python tools/golden_tokenizers.py [--shared DIR]

With --shared (a folder with tokenizers/ and tokenizer-vectors/), goldens for published vocabularies are made too;
the vocabularies themselves stay where they are. Small tokenizers that are there already are kept: training breaks
ties in no fixed order. Delete testdata to make them anew. Pinned versions: tools/requirements.txt.
"""

import argparse
import io
import json
import os
import pathlib

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)
from transformers import PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "src/tokenizer/testdata"

# Written for this purpose; varied enough for a few hundred merges.
CORPUS = """The quick brown fox jumps over the lazy dog. A massive token appears at the first position of every text.
It grows in one layer, stays for the whole of the middle, and is removed again near the end of the network.
Numbers such as 1, 22, 333 and 4,096 are spelled digit by digit or in threes; so are dates like 2024-05-17.
def spectral_norm(matrix): return max(singular_values(matrix))  # a comment with    spaces and\ttabs
Les élèves français étudient près de la forêt; über Größe und Maß spricht man auf Deutsch. Ñandú, señor!
Быстрая лиса прыгает через ленивую собаку. 敏捷的狐狸跳过懒狗。 速い狐は怠け者の犬を飛び越える。 🙂🦙
"""

TEXTS = [
    "", " ", "  ", "\n", "\t\n ", "Hello", " Hello", "  Hello world", "The quick brown fox jumps over the lazy dog.",
    "one\ntwo\r\nthree\n\n\nfour", "don't, we'll, I'VE", "3 33 333 3333 33333.333", "Größe señor forêt", "e\u0301a\u0308",
    "Быстрая лиса", "敏捷的狐狸", "🦙🙂\U0001f468\u200d\U0001f469", "שלום عليكم", "\u0000\u0001\u007f", "\u00a0\u2003\u200b|",
    "<s> a</s>b <unk> <|endoftext|>c", "x<extra> y <extra>z", " <mask> end", "[CLS] hello [SEP] [MASK]!", "ﬁne ① Ｆｕｌｌ",
    "a" * 60, "    return x[1:-1]  # ok", "Ġ Ċ ▁ <0x0A>",
]


def lines():
    return [line for line in CORPUS.split("\n") if line] * 4


def byte_bpe():
    """GPT-2's kind: byte letters, a split expression, no start token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.add_tokens([AddedToken("<extra>", lstrip=True, normalized=False)])
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def llama3_bpe():
    """LLaMA 3's kind: byte letters behind a split expression with look-ahead, a start token by template."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])])
    tokenizer.enable_truncation(4)  # must not matter
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False,
                       "added_tokens_decoder": {"402": {"content": "<extra>", "lstrip": False, "normalized": False,
                                                        "rstrip": True, "single_word": False, "special": True}}}


def wordpiece():
    """BERT's kind: [CLS] and [SEP], lower case, accents stripped."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=380, show_progress=False,
                                        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer, {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]",
                       "mask_token": "[MASK]"}


def unigram():
    """T5's kind: Metaspace, an end token only."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=260, show_progress=False, unk_token="<unk>",
                                      special_tokens=["<unk>", "</s>", "<mask>"])
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer, {"eos_token": "</s>", "unk_token": "<unk>", "mask_token": {
        "__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False,
        "single_word": False}}


def encode_all(tokenizer, texts):
    return [{"text": text, "ids": tokenizer.encode(text), "plain": tokenizer.encode(text, add_special_tokens=False),
             "decoded": tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True,
                                         clean_up_tokenization_spaces=False)} for text in texts]


def make_own(name, maker, goldens):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.json").exists():
        tokenizer, config = maker()
        data = json.loads(tokenizer.to_str())
        (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    loaded = PreTrainedTokenizerFast.from_pretrained(folder)
    loaded.backend_tokenizer.no_truncation()
    goldens[name] = encode_all(loaded, TEXTS)


def sentencepiece_ids(processor, text):
    """LLaMA's convention for text without control tokens in it."""
    return {"text": text, "ids": [processor.bos_id()] + processor.encode(text), "plain": processor.encode(text),
            "decoded": processor.decode(processor.encode(text))}


def make_sentencepiece(goldens):
    folder = OUT / "spm"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.model").exists():
        # By way of memory: the model stores the paths of what it was made from.
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines()), model_writer=model, vocab_size=500, model_type="bpe",
            byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, character_coverage=0.99, num_threads=1, minloglevel=2,
            user_defined_symbols=["<extra>"])
        (folder / "tokenizer.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    goldens["spm"] = [sentencepiece_ids(processor, t) for t in TEXTS if "<s>" not in t and "\0" not in t]


def vector_texts(shared):
    text = (shared / "tokenizer-vectors/ggml-vocab-gpt-2.gguf.inp").read_bytes().decode()
    return text.split("\n__ggml_vocab_test__\n") + TEXTS


def make_shared(shared, goldens):
    for name in ("phi-2", "phi-3-mini", "phi-3-medium", "falcon-tokenizer", "tokenizer_roberta-base"):
        loaded = PreTrainedTokenizerFast.from_pretrained(shared / "tokenizers/hf" / name)
        goldens["hf/" + name] = encode_all(loaded, vector_texts(shared))
    for name in ("tokenizer.model.v1", "tokenizer.model.v3"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(shared / "tokenizers" / name))
        goldens[name] = [sentencepiece_ids(processor, t) for t in vector_texts(shared) if "<s>" not in t and "\0" not in t]


def write(path, goldens):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", type=pathlib.Path)
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    goldens = {}
    for name, maker in {"byte_bpe": byte_bpe, "llama3_bpe": llama3_bpe, "wordpiece": wordpiece,
                        "unigram": unigram}.items():
        make_own(name, maker, goldens)
    make_sentencepiece(goldens)
    write(OUT / "goldens.json", goldens)
    if options.shared:
        published = {}
        make_shared(options.shared, published)
        write(OUT / "published_goldens.json", published)


if __name__ == "__main__":
    main()
