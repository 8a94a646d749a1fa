// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <jobruntime/extract.hpp>
#include <jobruntime/host.hpp>
#include <jobruntime/net.hpp>

#include "extractor_chain.hpp"

namespace jobruntime::host {

/// What child processes may see of the environment: nothing that could hold a secret, and the named ones.
std::vector<std::string> child_environment(const std::vector<std::string>& further = {});

/// The private networks that JOBRT_ALLOW_NETS lets through. INVALID_CONFIGURATION.
Result<std::vector<net::Network>> allowed_networks(const Config& config);

/// Cookies that `auth import` has kept for extractors without a browser; the path, whether or not it is there.
std::string cookies_path(const std::string& profile_dir);

/// The rules of the configuration, and of ours those that it does not replace. INVALID_CONFIGURATION.
Result<extract::PageRules> page_rules(const Config& config, const MediaConfig& media);

/// All extractors that the configuration knows, by name, without the browser. INVALID_CONFIGURATION for page rules.
Result<ExtractorChain::Known> make_extractors(const Config& config, const MediaConfig& media,
                                              const net::Fetcher& fetcher,
                                              extract::Recording* recording = nullptr);

/// The program of the operator's that a path names, e.g. for `extract --command`.
std::shared_ptr<extract::CommandExtractor> make_command(const CommandConfig& command,
                                                        const std::vector<net::Network>& nets,
                                                        extract::Recording* recording = nullptr);

}  // namespace jobruntime::host
