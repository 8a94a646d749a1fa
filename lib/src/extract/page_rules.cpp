// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_rules.hpp"

#include <algorithm>
#include <charconv>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

/// One object of the rules: reads its members, refuses what nobody asked for, keeps the first complaint.
class Fields {
public:
    Fields(const json::value& value, std::string where, std::optional<Error>& error)
        : object_(value.if_object()), where_(std::move(where)), error_(error) {
        if (object_ == nullptr) refuse("", "an object");
    }

    const json::value* find(std::string_view name) {
        known_.emplace_back(name);
        return object_ == nullptr ? nullptr : object_->if_contains({name.data(), name.size()});
    }
    std::string text(std::string_view name) {
        const auto* value = find(name);
        if (value == nullptr) return {};
        if (!value->is_string()) refuse(name, "a string");
        return value->is_string() ? std::string(value->get_string()) : std::string();
    }
    bool flag(std::string_view name) {
        const auto* value = find(name);
        if (value != nullptr && !value->is_bool()) refuse(name, "true or false");
        return value != nullptr && value->is_bool() && value->get_bool();
    }
    /// One string, or several.
    std::vector<std::string> texts(std::string_view name) {
        std::vector<std::string> out;
        const auto* value = find(name);
        if (value == nullptr) return out;
        if (value->is_string()) return {std::string(value->get_string())};
        if (!value->is_array()) refuse(name, "a string or an array of strings");
        if (value->is_array())
            for (const auto& entry : value->get_array()) {
                if (!entry.is_string()) refuse(name, "an array of strings");
                if (entry.is_string()) out.emplace_back(entry.get_string());
            }
        return out;
    }
    std::vector<std::pair<std::string, std::string>> pairs(std::string_view name) {
        std::vector<std::pair<std::string, std::string>> out;
        each(name, [&](std::string_view key, const json::value& value, const std::string& where) {
            if (!value.is_string()) refuse_at(where, "a string");
            if (value.is_string()) out.emplace_back(key, std::string(value.get_string()));
        });
        return out;
    }
    /// Each member of an object.
    void each(std::string_view name,
              const std::function<void(std::string_view, const json::value&, const std::string&)>& read) {
        const auto* value = find(name);
        if (value == nullptr) return;
        if (!value->is_object()) return refuse(name, "an object");
        for (const auto& [key, member] : value->get_object()) read(key, member, path(name) + "." + std::string(key));
    }
    /// Each element of an array.
    void list(std::string_view name, const std::function<void(const json::value&, const std::string&)>& read) {
        const auto* value = find(name);
        if (value == nullptr) return;
        if (!value->is_array()) return refuse(name, "an array");
        std::size_t index = 0;
        for (const auto& element : value->get_array()) read(element, path(name) + "[" + std::to_string(index++) + "]");
    }
    std::string code(std::string_view name) {
        auto word = text(name);
        const bool good = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
            return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        });
        if (!good && !word.empty()) refuse(name, "a code like NO_MEDIA");
        return word;
    }
    /// After everything was asked for: what is left is a mistake in writing.
    void done() {
        if (object_ == nullptr) return;
        for (const auto& item : *object_) {
            const std::string_view key = item.key();
            if (std::find(known_.begin(), known_.end(), key) != known_.end() || key == "comment") continue;
            std::string names;
            for (const auto& known : known_) names += (names.empty() ? "" : ", ") + known;
            refuse_at(path(key), "known; what is known here: " + names);
        }
    }
    void refuse(std::string_view name, const std::string& expected) { refuse_at(path(name), expected); }
    const std::string& where() const { return where_; }

private:
    std::string path(std::string_view name) const { return name.empty() ? where_ : where_ + "." + std::string(name); }
    void refuse_at(const std::string& where, const std::string& expected) {
        if (!error_) error_ = Error{Errc::invalid_argument, "INVALID_CONFIGURATION", where + " must be " + expected};
    }

    const json::object* object_;
    const std::string where_;
    std::optional<Error>& error_;
    std::vector<std::string> known_;
};

PageStep read_step(const json::value& value, const std::string& where, std::optional<Error>& error) {
    Fields fields(value, where, error);
    PageStep step;
    step.url = fields.text("get");
    const auto post = fields.text("post");
    step.post = !post.empty();
    if (step.url.empty() == post.empty()) fields.refuse("", "a step with either get or post");
    if (step.post) step.url = post;
    step.body = fields.text("body");
    if (!step.post && !step.body.empty()) fields.refuse("body", "left out where there is no post");
    step.headers = fields.pairs("headers");
    fields.each("query", [&](std::string_view key, const json::value& member, const std::string&) {
        step.query.emplace_back(key, member);
    });
    fields.each("keep", [&](std::string_view key, const json::value& member, const std::string&) {
        if (!member.is_string()) fields.refuse("keep", "an object of paths");
        if (member.is_string()) step.keep.emplace_back(key, JsonPaths{std::string(member.get_string())});
    });
    fields.each("statuses", [&](std::string_view key, const json::value& member, const std::string&) {
        int status = 0;
        const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), status);
        if (failed != std::errc{} || end != key.data() + key.size() || !member.is_string())
            return fields.refuse("statuses", R"(an object like {"404":"VIDEO_UNAVAILABLE"})");
        step.statuses[status] = std::string(member.get_string());
    });
    fields.done();
    return step;
}

PageError read_error(const json::value& value, const std::string& where, std::optional<Error>& error) {
    Fields fields(value, where, error);
    PageError out;
    out.at = fields.texts("at");
    if (out.at.empty()) fields.refuse("at", "a path");
    if (fields.find("is") != nullptr) out.is = fields.text("is");
    for (const auto& words : fields.texts("has")) out.has.push_back(lower(words));
    out.code = fields.code("code");
    if (out.code.empty()) fields.refuse("code", "a code like VIDEO_UNAVAILABLE");
    out.message = fields.text("message");
    fields.done();
    return out;
}

PageReader read_reader(const json::value& value, const std::string& where, std::optional<Error>& error) {
    Fields fields(value, where, error);
    PageReader out;
    if (auto root = fields.texts("root"); !root.empty()) out.root = std::move(root);
    if (auto code = fields.code("missing"); !code.empty()) out.missing = std::move(code);
    fields.list("errors", [&](const json::value& row, const std::string& at) {
        out.errors.push_back(read_error(row, at, error));
    });
    out.id = fields.texts("id");
    out.title = fields.texts("title");
    out.author = fields.texts("author");
    out.published = fields.texts("published");
    out.thumbnail = fields.texts("thumbnail");
    out.duration = fields.texts("duration");
    out.items = fields.text("items");
    out.video = fields.text("video");
    out.item_thumbnail = fields.texts("itemThumbnail");
    out.item_duration_ms = fields.texts("itemDurationMs");
    out.headers = fields.pairs("headers");
    fields.list("sources", [&](const json::value& row, const std::string& at) {
        Fields source(row, at, error);
        PageSources sources;
        sources.each = source.text("each");
        sources.url = source.text("url");
        sources.type = source.texts("type");
        sources.bitrate = source.texts("bitrate");
        sources.width = source.texts("width");
        sources.height = source.texts("height");
        sources.size = source.texts("size");
        source.done();
        out.sources.push_back(std::move(sources));
    });
    if (out.sources.empty()) fields.refuse("sources", "at least one {each, url, …}");
    fields.done();
    return out;
}

PageWay read_way(const json::value& value, const std::string& where, std::optional<Error>& error) {
    Fields fields(value, where, error);
    PageWay way;
    way.name = fields.text("name");
    fields.list("steps", [&](const json::value& row, const std::string& at) {
        way.steps.push_back(read_step(row, at, error));
    });
    if (way.steps.empty() || way.steps.size() > 8) fields.refuse("steps", "one to eight requests");
    way.scripts = fields.texts("script");
    way.cookies = fields.flag("cookies");
    if (const auto* reader = fields.find("read")) way.reader = read_reader(*reader, where + ".read", error);
    if (!way.reader && !way.scripts.empty()) fields.refuse("read", "there, to say what is where in the script's JSON");
    fields.done();
    return way;
}

}  // namespace

bool PageRule::matches(std::string_view platform, std::string_view host) const {
    if (platforms.empty() && hosts.empty()) return true;
    return std::find(platforms.begin(), platforms.end(), platform) != platforms.end() ||
           std::any_of(hosts.begin(), hosts.end(), [&](const auto& domain) { return net::host_matches(host, domain); });
}

Result<PageRules> PageRules::parse(const json::object& rules) {
    auto impl = std::make_shared<Impl>();
    std::optional<Error> error;
    for (const auto& [name, value] : rules) {
        const std::string where = "pages." + std::string(name);
        Fields fields(value, where, error);
        PageRule rule;
        rule.name = std::string(name);
        rule.platforms = fields.texts("platforms");
        rule.hosts = fields.texts("hosts");
        fields.list("ways", [&](const json::value& row, const std::string& at) {
            rule.ways.push_back(read_way(row, at, error));
        });
        if (rule.ways.empty()) fields.refuse("ways", "at least one way");
        fields.done();
        impl->rules.push_back(std::move(rule));
    }
    if (error) return *std::move(error);
    PageRules parsed;
    parsed.impl_ = std::move(impl);
    return parsed;
}

std::string percent_encode(std::string_view text) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_' || c == '.' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
    return out;
}

std::string fill_in(std::string_view text, const std::map<std::string, std::string>& values, bool encode) {
    std::string out;
    while (!text.empty()) {
        const auto open = text.find('{');
        out += text.substr(0, open);
        if (open == std::string_view::npos) break;
        text.remove_prefix(open);
        const auto close = text.find('}');
        const auto found = close == std::string_view::npos ? values.end() : values.find(std::string(text.substr(1, close - 1)));
        if (found == values.end()) {
            out += '{';
            text.remove_prefix(1);
            continue;
        }
        out += encode ? percent_encode(found->second) : found->second;
        text.remove_prefix(close + 1);
    }
    return out;
}

json::value fill_in(const json::value& value, const std::map<std::string, std::string>& values) {
    if (value.is_string()) return json::value(fill_in(std::string_view(value.get_string()), values, false));
    if (const auto* array = value.if_array()) {
        json::array out;
        for (const auto& element : *array) out.push_back(fill_in(element, values));
        return out;
    }
    if (const auto* object = value.if_object()) {
        json::object out;
        for (const auto& [key, member] : *object) out[key] = fill_in(member, values);
        return out;
    }
    return value;
}

std::string syndication_token(std::string_view id) {
    // Ids are numbers of 64 bits.
    if (id.empty() || id.size() > 20 || id.find_first_not_of("0123456789") != std::string_view::npos) return {};
    double number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    number = number / 1e15 * 3.14159265358979323846;
    constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    auto whole = static_cast<unsigned long long>(number);
    double rest = number - static_cast<double>(whole);
    std::string token;
    for (; whole > 0; whole /= 36) token.insert(token.begin(), digits[whole % 36]);
    for (int i = 0; i < 10 && rest > 0; ++i) {
        rest *= 36;
        const auto digit = static_cast<int>(rest);
        token += digits[digit];
        rest -= digit;
    }
    std::erase(token, '0');
    return token;
}

}  // namespace jobruntime::extract
