// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "url_pattern.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace jobruntime::host {
namespace {

using Names = std::map<std::string, std::string>;

std::vector<std::string> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto end = std::min(path.find('/'), path.size());
        parts.emplace_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    if (!parts.empty() && parts.back().empty()) parts.pop_back();  // A slash at the end says nothing.
    return parts;
}

bool is_word(std::string_view text, std::string_view besides) {
    return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               besides.find(c) != std::string_view::npos;
    });
}

struct Pattern {
    std::string host;  ///< Empty = any of the platform's.
    std::vector<std::string> parts;

    static Result<Pattern> parse(const std::string& text) {
        const auto slash = text.find('/');
        const Error bad{Errc::invalid_argument,
                        "patterns of a path like \"/talk/{id}\" or \"m.example.org/t/{id}\"; the names are {id}, {handle}, {*}; \"" +
                            text + "\" is none"};
        if (slash == std::string::npos) return bad;
        Pattern pattern{text.substr(0, slash), parts_of(std::string_view(text).substr(slash))};
        for (const auto& part : pattern.parts) {
            const auto open = part.find('{');
            const auto close = part.find('}');
            if (open == std::string::npos && close == std::string::npos) continue;
            if (open == std::string::npos || close == std::string::npos || close < open) return bad;
            const auto name = part.substr(open + 1, close - open - 1);
            if (name != "id" && name != "handle" && name != "*") return bad;
        }
        if (pattern.parts.empty()) return bad;
        return pattern;
    }

    std::optional<Names> match(const net::Url& url) const {
        if (!host.empty() && url.host != host) return std::nullopt;
        const auto given = parts_of(url.path);
        if (given.size() != parts.size()) return std::nullopt;
        Names names;
        for (std::size_t i = 0; i < parts.size(); ++i)
            if (!match_part(parts[i], given[i], names)) return std::nullopt;
        return names;
    }

private:
    /// "@{handle}", "{id}.html", or plain text.
    static bool match_part(std::string_view pattern, std::string_view given, Names& names) {
        const auto open = pattern.find('{');
        if (open == std::string_view::npos) return pattern == given;
        const auto close = pattern.find('}');
        const auto before = pattern.substr(0, open);
        const auto after = pattern.substr(close + 1);
        if (given.size() <= before.size() + after.size() || !given.starts_with(before) || !given.ends_with(after)) return false;
        const auto value = given.substr(before.size(), given.size() - before.size() - after.size());
        const auto name = pattern.substr(open + 1, close - open - 1);
        if (name == "*") return true;
        if (!is_word(value, name == "id" ? "_-" : "_-.")) return false;
        std::string kept(value);
        if (name == "handle")
            std::transform(kept.begin(), kept.end(), kept.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        names[std::string(name)] = std::move(kept);
        return true;
    }
};

std::string filled(std::string text, const Names& names) {
    for (const auto& [name, value] : names) {
        const auto mark = "{" + name + "}";
        for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size()))
            text.replace(at, mark.size(), value);
    }
    return text;
}

Result<std::vector<Pattern>> parse_all(const std::vector<std::string>& texts) {
    std::vector<Pattern> patterns;
    for (const auto& text : texts) {
        auto pattern = Pattern::parse(text);
        if (!pattern) return std::move(pattern).error();
        patterns.push_back(*std::move(pattern));
    }
    return patterns;
}

}  // namespace

Result<std::function<Result<net::Post>(const net::Url&)>> post_rule(
    const std::string& platform, const std::vector<std::string>& posts, const std::string& canonical,
    const std::vector<std::string>& short_links, std::function<Result<net::Post>(const net::Url&)> otherwise) {
    auto post_patterns = parse_all(posts);
    if (!post_patterns) return std::move(post_patterns).error();
    auto short_patterns = parse_all(short_links);
    if (!short_patterns) return std::move(short_patterns).error();
    return std::function<Result<net::Post>(const net::Url&)>(
        [=, posts = *std::move(post_patterns), shorts = *std::move(short_patterns)](const net::Url& url) -> Result<net::Post> {
            net::Url page = url;
            page.fragment.reset();
            for (const auto& pattern : shorts) {
                if (!pattern.match(url)) continue;
                return net::Post{platform, "", page.str(), page.str(), net::slug(url.host), true};
            }
            for (const auto& pattern : posts) {
                const auto names = pattern.match(url);
                if (!names) continue;
                const auto id = names->find("id");
                const auto handle = names->find("handle");
                const auto text = canonical.empty() ? page.str() : filled(canonical, *names);
                auto checked = net::parse_url(text);
                if (!checked) return std::move(checked).error();
                const auto address = checked->str();
                return net::Post{platform, id == names->end() ? "" : id->second, address,
                                 id == names->end() ? address : platform + ":" + id->second,
                                 net::slug(handle == names->end() ? url.host : handle->second), false};
            }
            if (otherwise) return otherwise(url);
            return Error{Errc::invalid_argument, "INVALID_URL", "this URL on " + url.host + " is not a post of " + platform};
        });
}

}  // namespace jobruntime::host
