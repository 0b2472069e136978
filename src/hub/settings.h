#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

namespace defectoscope {

/// Where the hub is, where its files go, and how patient to be. The environment variables are those of
/// huggingface_hub.
struct HubSettings {
  std::string endpoint = "https://huggingface.co";  ///< HF_ENDPOINT; without a slash at the end
  std::string token;                                ///< HF_TOKEN, or the file HF_TOKEN_PATH or HF_HOME/token
  std::filesystem::path cache;   ///< HF_HUB_CACHE, or HF_HOME/hub; HF_HOME defaults to ~/.cache/huggingface
  std::filesystem::path assets;  ///< HF_ASSETS_CACHE, or HF_HOME/assets: what is made from downloads
  bool offline = false;          ///< HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE: no network, the cache alone
  std::string certificates;      ///< CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE; empty: the system's
  /// Where the text of WikiText-2 v1 is, which no repository of the hub holds as text
  /// (DEFECTOSCOPE_WIKITEXT_V1_URL names a mirror).
  std::string wikitext_v1_url = "https://wikitext.smerity.com/wikitext-2-v1.zip";

  int connections = 4;       ///< files at once
  int attempts = 6;          ///< of a request that gets no further, before giving up
  int connect_seconds = 10;  ///< HF_HUB_ETAG_TIMEOUT
  int stalled_seconds = 30;  ///< without a byte
  /// Waits before the next attempt; returns early on a stop. Tests put their own here.
  std::function<void(std::chrono::milliseconds, std::stop_token)> wait;

  /// Throws Error(kUsage) where HF_ENDPOINT is no http(s) address.
  static HubSettings from_environment();
};

}  // namespace defectoscope
