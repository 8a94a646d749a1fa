// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/hls_variables.hpp"

#include <algorithm>
#include <optional>

#include "media/hls_attributes.hpp"

namespace jobruntime::media {
namespace {

constexpr std::size_t most_filled = std::size_t{64} << 20;

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= 256 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

/// Of a query that has it once, with something behind its "=".
std::optional<std::string> parameter(std::string_view query, std::string_view name) {
    std::optional<std::string> found;
    while (!query.empty()) {
        const auto one = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(one.size() + 1, query.size()));
        if (!one.starts_with(name) || one.substr(name.size(), 1) != "=") continue;
        if (found) return std::nullopt;
        found = one.substr(name.size() + 1);
    }
    return found && !found->empty() ? found : std::nullopt;
}

}  // namespace

Result<void> HlsVariables::define(const HlsAttributes& attributes, const net::Url& base, const HlsVariables& master) {
    const bool named = attributes.has("NAME"), imported = attributes.has("IMPORT"), asked = attributes.has("QUERYPARAM");
    if (named + imported + asked != 1 || named != attributes.has("VALUE")) return bad_playlist("EXT-X-DEFINE defines no variable");
    const auto name = attributes[named ? "NAME" : imported ? "IMPORT" : "QUERYPARAM"];
    if (!is_name(name)) return bad_playlist("EXT-X-DEFINE has no name of a variable");
    std::optional<std::string> value;
    if (named) value = attributes["VALUE"];
    if (asked) value = parameter(base.query.value_or(""), name);
    if (const auto known = master.values_.find(name); imported && known != master.values_.end()) value = known->second;
    if (!value)
        return bad_playlist("EXT-X-DEFINE takes " + std::string(name) + " from " +
                      (asked ? "its address, which does not have it once" : "a master playlist, which does not define it"));
    if (!values_.try_emplace(std::string(name), *std::move(value)).second)
        return bad_playlist("EXT-X-DEFINE defines " + std::string(name) + " twice");
    return {};
}

Result<std::string> HlsVariables::fill_in(std::string_view line) {
    std::string filled;
    for (auto at = line.find("{$"); at != std::string_view::npos; at = line.find("{$")) {
        const auto end = std::min(line.find('}', at), line.size());
        const auto name = line.substr(at + 2, end - at - 2);
        const auto known = values_.find(name);
        if (known == values_.end() || end == line.size())
            return bad_playlist("a variable {$" + std::string(name.substr(0, 40)) + "} that is not defined above it");
        filled.append(line.substr(0, at)).append(known->second);
        line.remove_prefix(end + 1);
        if (filled_ + filled.size() > most_filled)
            return Error{Errc::full, "TOO_LARGE", "the variables of the HLS playlist make more than 64 MiB of it"};
    }
    filled.append(line);
    filled_ += filled.size();
    return filled;
}

}  // namespace jobruntime::media
