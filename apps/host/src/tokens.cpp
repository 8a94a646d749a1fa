// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "tokens.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "sha256.hpp"
#include "token_file.hpp"

namespace jobruntime::host {
namespace {

constexpr std::size_t id_digits = 8;
constexpr std::size_t secret_bytes = 32;
constexpr std::size_t tokens_a_name = 2;
constexpr std::size_t most_tokens = 1'000;

Error refused(std::string text) { return {Errc::invalid_argument, "TOKEN_FILE_REFUSED", std::move(text)}; }

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string to_text(const std::vector<Token>& tokens) {
    boost::json::array list;
    for (const auto& token : tokens)
        list.push_back({{"id", token.id}, {"name", token.name}, {"role", to_string(token.role)}, {"hash", token.hash},
                        {"createdAt", token.created_at}});
    // A token a line, so that people can read it.
    std::string text = "{\"version\":1,\"tokens\":[";
    for (std::size_t i = 0; i < list.size(); ++i) text += (i == 0 ? "\n" : ",\n") + boost::json::serialize(list[i]);
    return text + "\n]}\n";
}

bool is_good_name(std::string_view name) {
    return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
               c == '@';
    });
}

/// The tokens under the lock; none when there is no file yet.
Result<std::vector<Token>> read_for_change(const std::string& path) {
    auto tokens = read_tokens(path);
    if (!tokens && tokens.error().code == Errc::not_found) return std::vector<Token>{};
    return tokens;
}

}  // namespace

Result<std::vector<Token>> parse_tokens(const std::string& path, const std::string& text) {
    boost::system::error_code code;
    const auto value = boost::json::parse(text, code);
    const auto* object = code ? nullptr : value.if_object();
    const auto* list = object ? object->if_contains("tokens") : nullptr;
    if (!list || !list->is_array())
        return refused(path + " is no file of access tokens; move it away and make one with jobrt token create");
    std::vector<Token> tokens;
    for (const auto& item : list->get_array()) {
        const auto* entry = item.if_object();
        if (!entry) return refused(path + " has a broken entry; move it away and make new tokens");
        Token token{text_of(*entry, "id"), text_of(*entry, "name"), Role::read, text_of(*entry, "hash"),
                    text_of(*entry, "createdAt")};
        const auto role = parse_role(text_of(*entry, "role"));
        if (!role || token.id.size() != id_digits || token.hash.size() != 64)
            return refused(path + " has a broken entry; move it away and make new tokens");
        token.role = *role;
        tokens.push_back(std::move(token));
    }
    return tokens;
}

Result<std::vector<Token>> read_tokens(const std::string& path) {
    const auto text = token_file::read(path);
    if (!text) return text.error();
    return parse_tokens(path, text->text);
}

Result<NewToken> create_token(const std::string& path, const std::string& name, Role role, Time now) {
    if (!is_good_name(name))
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT", "a token's name must match [A-Za-z0-9._@-]{1,64}"};
    const auto lock = token_file::Lock::take(path);
    if (!lock) return lock.error();
    auto tokens = read_for_change(path);
    if (!tokens) return std::move(tokens).error();
    const auto same_name = std::ranges::count(*tokens, name, &Token::name);
    if (same_name >= static_cast<std::ptrdiff_t>(tokens_a_name))
        return Error{Errc::conflict, "TOO_MANY_TOKENS",
                     name + " has two tokens already; revoke one first (jobrt token list, jobrt token revoke ID)"};
    if (tokens->size() >= most_tokens)
        return Error{Errc::full, "TOO_MANY_TOKENS", path + " has 1,000 tokens already; revoke some first"};
    NewToken made{{"", name, role, "", to_iso(now)}, ""};
    do {
        auto id = token_file::random_digits(id_digits / 2);
        if (!id) return std::move(id).error();
        made.token.id = *std::move(id);
    } while (std::ranges::count(*tokens, made.token.id, &Token::id) > 0);
    const auto secret = token_file::random_digits(secret_bytes);
    if (!secret) return secret.error();
    made.text = "jrt_" + made.token.id + "_" + *secret;
    made.token.hash = sha256(made.text);
    tokens->push_back(made.token);
    JR_TRY(token_file::replace(path, to_text(*tokens)));
    return made;
}

Result<Token> revoke_token(const std::string& path, const std::string& id_or_name) {
    const auto lock = token_file::Lock::take(path);
    if (!lock) return lock.error();
    auto tokens = read_tokens(path);
    if (!tokens) return std::move(tokens).error();
    auto found = std::ranges::find(*tokens, id_or_name, &Token::id);
    if (found == tokens->end()) {
        if (std::ranges::count(*tokens, id_or_name, &Token::name) > 1)
            return Error{Errc::conflict, "AMBIGUOUS", id_or_name + " has two tokens; name one by its id (jobrt token list)"};
        found = std::ranges::find(*tokens, id_or_name, &Token::name);
    }
    if (found == tokens->end())
        return Error{Errc::not_found, "NO_SUCH_TOKEN", "no token has that id or name; jobrt token list shows them"};
    const Token gone = *found;
    tokens->erase(found);
    JR_TRY(token_file::replace(path, to_text(*tokens)));
    return gone;
}

}  // namespace jobruntime::host
