//! A loaded tokenizer with what C++ asks of it.

use crate::Fallible;
use serde::Deserialize;
use tokenizers::{AddedToken, Model, Tokenizer};

pub struct Handle {
    tokenizer: Tokenizer,
    pub size: u32,
    pub start: Option<u32>,
    pub byte_level: bool,
}

/// A token to add; one that yields keeps the flags that the tokenizer has for it already, but becomes special.
#[derive(Deserialize)]
struct Addition {
    #[serde(flatten)]
    token: AddedToken,
    yields: bool,
}

impl Handle {
    pub fn load(json: &[u8]) -> Fallible<Handle> {
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        // Lengths are the caller's business, whatever the file was last used for.
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let decoder = serde_json::to_value(tokenizer.get_decoder())?;
        let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer())?;
        let byte_level = mentions_byte_level(&decoder) || mentions_byte_level(&pre_tokenizer);
        let mut handle = Handle { tokenizer, size: 0, start: None, byte_level };
        handle.refresh()?;
        Ok(handle)
    }

    pub fn add_tokens(&mut self, json: &[u8]) -> Fallible<()> {
        let additions: Vec<Addition> = serde_json::from_slice(json)?;
        let added = self.tokenizer.get_added_vocabulary();
        let tokens: Vec<AddedToken> = additions
            .into_iter()
            .map(|Addition { token, yields }| {
                let id = added.get_vocab().get(&token.content);
                match id.and_then(|id| added.get_added_tokens_decoder().get(id)) {
                    Some(known) if yields => known.clone().special(known.special || token.special),
                    _ => token,
                }
            })
            .collect();
        self.tokenizer.add_tokens(tokens)?;
        self.refresh()
    }

    pub fn encode(&self, text: &[u8], special: bool) -> Fallible<Vec<u32>> {
        let text = std::str::from_utf8(text)?;
        Ok(self.tokenizer.encode_fast(text, special)?.get_ids().to_vec())
    }

    pub fn decode(&self, ids: &[u32]) -> Fallible<String> {
        self.tokenizer.decode(ids, true)
    }

    pub fn token(&self, id: u32) -> Option<String> {
        match self.tokenizer.get_added_vocabulary().get_added_tokens_decoder().get(&id) {
            Some(added) => Some(added.content.clone()),
            None => self.tokenizer.get_model().id_to_token(id),
        }
    }

    pub fn find(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub fn is_special(&self, id: u32) -> bool {
        let added = self.tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        added.get(&id).is_some_and(|token| token.special)
    }

    /// Works out what depends on the whole vocabulary.
    fn refresh(&mut self) -> Fallible<()> {
        let largest = self.tokenizer.get_vocab(true).into_values().max();
        self.size = match largest {
            None => return Err("the vocabulary is empty".into()),
            Some(id) if id >= i32::MAX as u32 => return Err(format!("token id {id} is out of range").into()),
            Some(id) => id + 1,
        };
        // A probe tells what a post-processor of any kind puts first.
        let probe = self.tokenizer.encode_fast("a", true)?;
        let leads = probe.get_special_tokens_mask().first() == Some(&1);
        self.start = if leads { probe.get_ids().first().copied() } else { None };
        for &id in probe.get_ids() {
            if id >= self.size {
                return Err(format!("the post-processor adds id {id}, which the vocabulary does not have").into());
            }
        }
        Ok(())
    }
}

fn mentions_byte_level(part: &serde_json::Value) -> bool {
    match part {
        serde_json::Value::Object(fields) => {
            fields.get("type").is_some_and(|kind| kind == "ByteLevel") || fields.values().any(mentions_byte_level)
        }
        serde_json::Value::Array(items) => items.iter().any(mentions_byte_level),
        _ => false,
    }
}
