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

/// What the first parameter of that name says; nothing where there is none.
std::optional<std::string> parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const auto one = query.substr(0, query.find('&'));
        const auto equals = std::min(one.find('='), one.size());
        if (one.substr(0, equals) == name) return std::string(one.substr(std::min(equals + 1, one.size())));
        query.remove_prefix(std::min(one.size() + 1, query.size()));
    }
    return std::nullopt;
}

struct Pattern {
    std::string host;  ///< Empty = any of the platform's.
    std::vector<std::string> parts;
    std::string nth_key;  ///< The parameter of the query that is {nth}, or empty.

    static std::optional<Pattern> parse(const std::string& text) {
        const auto slash = text.find('/');
        const auto query = std::min(text.find('?'), text.size());
        if (slash == std::string::npos || query < slash) return std::nullopt;
        Pattern pattern{text.substr(0, slash), parts_of(std::string_view(text).substr(slash, query - slash)), {}};
        if (query < text.size()) {
            const std::string_view parameter = std::string_view(text).substr(query + 1);
            pattern.nth_key = parameter.substr(0, parameter.find('='));
            if (!is_word(pattern.nth_key, "_-.") || parameter.substr(pattern.nth_key.size()) != "={nth}") return std::nullopt;
        }
        int numbers = pattern.nth_key.empty() ? 0 : 1;
        for (const auto& part : pattern.parts) {
            const auto open = part.find('{');
            const auto close = part.find('}');
            if (open == std::string::npos && close == std::string::npos) continue;
            if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
            const auto name = part.substr(open + 1, close - open - 1);
            if (name != "id" && name != "handle" && name != "*" && name != "nth") return std::nullopt;
            if (name == "nth") ++numbers;
        }
        if (pattern.parts.empty() || numbers > 1) return std::nullopt;
        return pattern;
    }

    bool has(std::string_view name) const {
        const auto mark = "{" + std::string(name) + "}";
        return (name == "nth" && !nth_key.empty()) ||
               std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return part.find(mark) != std::string::npos; });
    }

    std::optional<Names> match(const net::Url& url) const {
        if (!host.empty() && url.host != host) return std::nullopt;
        const auto given = parts_of(url.path);
        if (given.size() != parts.size()) return std::nullopt;
        Names names;
        for (std::size_t i = 0; i < parts.size(); ++i)
            if (!match_part(parts[i], given[i], names)) return std::nullopt;
        if (const auto number = nth_key.empty() ? std::nullopt : parameter(url.query.value_or(""), nth_key)) {
            if (!net::video_number(*number)) return std::nullopt;
            names["nth"] = *number;
        }
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
        if (name == "nth" && !net::video_number(value)) return false;
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

Error wrong(const char* member, std::string must_be) { return Error{Errc::invalid_argument, member, std::move(must_be)}; }

Result<std::vector<Pattern>> parse_all(const char* member, const std::vector<std::string>& texts) {
    std::vector<Pattern> patterns;
    for (const auto& text : texts) {
        auto pattern = Pattern::parse(text);
        if (!pattern)
            return wrong(member, "patterns of a path like \"/talk/{id}\" or \"m.example.org/t/{id}\"; the names are {id}, {handle}, {*} "
                                 "and, once and also as \"/talk/{id}?part={nth}\", {nth}; \"" + text + "\" is none");
        patterns.push_back(*std::move(pattern));
    }
    return patterns;
}

bool mentions(const std::string& text, std::string_view name) { return text.find("{" + std::string(name) + "}") != std::string::npos; }

Result<net::Post> post_of(const PostPatterns& rules, const net::Url& url, const net::Url& page, const Names& names) {
    const auto name = [&](const char* which) {
        const auto found = names.find(which);
        return found == names.end() ? std::string() : found->second;
    };
    auto checked = rules.canonical.empty() ? page : net::parse_url(filled(rules.canonical, names));
    if (!checked) return std::move(checked).error();
    const auto address = checked->str();
    const auto id = name("id");
    const auto handle = name("handle");
    net::Post post{rules.platform, id, address, id.empty() ? address : rules.platform + ":" + id,
                   net::slug(handle.empty() ? url.host : handle), false};
    const int nth = net::video_number(name("nth")).value_or(1);
    if (nth == 1) return post;
    auto numbered = net::parse_url(filled(rules.nth_canonical, names));
    if (!numbered) return std::move(numbered).error();
    return net::nth_video_of(std::move(post), nth, numbered->str());
}

/// What must hold where a post's videos have numbers, before the rule is tried.
Result<void> check_numbers(const PostPatterns& rules, const std::vector<Pattern>& posts, const std::vector<Pattern>& shorts) {
    if (mentions(rules.canonical, "nth"))
        return wrong("canonical", "the address of the post itself, without {nth}; nthCanonical is that of one of its videos");
    if (std::any_of(shorts.begin(), shorts.end(), [](const auto& pattern) { return pattern.has("nth"); }))
        return wrong("shortLinks", "without {nth}: the post that they lead to says which of its videos is meant");
    const bool numbered = std::any_of(posts.begin(), posts.end(), [](const auto& pattern) { return pattern.has("nth"); });
    if (!numbered) {
        if (!rules.nth_canonical.empty()) return wrong("nthCanonical", "left out where none of the posts has {nth}");
        return {};
    }
    if (rules.canonical.empty()) return wrong("canonical", "given where posts have {nth}: the address of the post itself");
    if (!mentions(rules.nth_canonical, "nth"))
        return wrong("nthCanonical", "given where posts have {nth}, and have it, too: the address of one of a post's videos");
    for (const auto* name : {"id", "handle"})
        for (const auto& pattern : posts)
            if (pattern.has("nth") && mentions(rules.nth_canonical, name) && !pattern.has(name))
                return wrong("nthCanonical", "made of names that every post with {nth} has; one of them has no {" + std::string(name) + "}");
    return {};
}

/// Workers read the canonical address again: it must mean the same to them.
Result<void> try_numbers(const PostPatterns& rules, const PostRule& rule) {
    if (rules.nth_canonical.empty()) return {};
    const auto text = filled(rules.nth_canonical, {{"id", "1"}, {"handle", "a"}, {"nth", "2"}});
    const auto url = net::parse_url(text);
    const auto ours = [&](const std::string& host) { return net::host_matches(url->host, host); };
    const bool at_home = url && (rules.hosts.empty() || std::any_of(rules.hosts.begin(), rules.hosts.end(), ours));
    const auto post = at_home ? rule(*url) : Result<net::Post>(Error{});
    if (post && post->nth == 2 && post->canonical == url->str()) return {};
    return wrong("nthCanonical", "an address that one of the posts' patterns with {nth} reads back as it is; \"" + text + "\" is none");
}

}  // namespace

Result<PostRule> post_rule(PostPatterns rules, PostRule otherwise) {
    auto posts = parse_all("posts", rules.posts);
    if (!posts) return std::move(posts).error();
    auto shorts = parse_all("shortLinks", rules.short_links);
    if (!shorts) return std::move(shorts).error();
    JR_TRY(check_numbers(rules, *posts, *shorts));
    std::stable_partition(posts->begin(), posts->end(), [](const auto& pattern) { return pattern.has("nth"); });
    PostRule rule = [rules, posts = *std::move(posts), shorts = *std::move(shorts),
                     otherwise = std::move(otherwise)](const net::Url& url) -> Result<net::Post> {
        net::Url page = url;
        page.fragment.reset();
        for (const auto& pattern : shorts) {
            if (!pattern.match(url)) continue;
            return net::Post{rules.platform, "", page.str(), page.str(), net::slug(url.host), true};
        }
        for (const auto& pattern : posts)
            if (const auto names = pattern.match(url)) return post_of(rules, url, page, *names);
        if (otherwise) return otherwise(url);
        return Error{Errc::invalid_argument, "INVALID_URL", "this URL on " + url.host + " is not a post of " + rules.platform};
    };
    JR_TRY(try_numbers(rules, rule));
    return rule;
}

}  // namespace jobruntime::host
