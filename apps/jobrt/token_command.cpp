// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <iomanip>
#include <iostream>

#include <boost/json/array.hpp>
#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>

#include "tokens.hpp"

namespace jobruntime::jobrt {
namespace {

/// The file that JOBRT_TOKEN_FILE names, or nothing after a complaint.
std::optional<std::string> token_file(const Invocation& in) {
    if (!in.config.token_file.empty()) return in.config.token_file;
    fail(in, {Errc::invalid_argument, "INVALID_CONFIGURATION",
              "say where the tokens live: set JOBRT_TOKEN_FILE, or give --token-file PATH"});
    return std::nullopt;
}

boost::json::object shown(const host::Token& token) {
    return {{"id", token.id}, {"name", token.name}, {"role", to_string(token.role)}, {"createdAt", token.created_at}};
}

int create(const Invocation& in) {
    const auto path = token_file(in);
    if (!path) return host::exit_usage;
    const auto role = parse_role(in.text("role"));
    if (!role) {
        fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT", "--role is read, operate or admin"});
        return host::exit_usage;
    }
    const auto made = host::create_token(*path, in.text("NAME"), *role, system_clock().wall());
    if (!made) return fail(in, made.error());
    if (in.has("json")) {
        auto object = shown(made->token);
        object["ok"] = true;
        object["token"] = made->text;
        print_json(object);
        return host::exit_ok;
    }
    // The token alone on stdout, so that it can go straight into a file.
    std::cout << made->text << std::endl;
    std::cerr << "token " << made->token.id << " of " << made->token.name << ", role " << to_string(*role)
              << "; it is shown this once, and works from now on\n";
    return host::exit_ok;
}

int list(const Invocation& in) {
    const auto path = token_file(in);
    if (!path) return host::exit_usage;
    const auto tokens = host::read_tokens(*path);
    if (!tokens) return fail(in, tokens.error());
    if (in.has("json")) {
        boost::json::array all;
        for (const auto& token : *tokens) all.push_back(shown(token));
        print_json({{"ok", true}, {"tokens", std::move(all)}});
        return host::exit_ok;
    }
    for (const auto& token : *tokens)
        std::cout << token.id << "  " << std::left << std::setw(8) << to_string(token.role) << " " << token.created_at << "  "
                  << token.name << "\n";
    return host::exit_ok;
}

int revoke(const Invocation& in) {
    const auto path = token_file(in);
    if (!path) return host::exit_usage;
    const auto gone = host::revoke_token(*path, in.text("ID"));
    if (!gone) return fail(in, gone.error());
    if (in.has("json")) {
        auto object = shown(*gone);
        object["ok"] = true;
        print_json(object);
    } else {
        std::cout << "revoked token " << gone->id << " of " << gone->name << "\n";
    }
    return host::exit_ok;
}

}  // namespace

std::vector<Command> token_commands() {
    return {{"token create", "Makes an access token for the API and prints it, once.",
             {{"NAME", "Whose token it is, for lists and the audit; a name has at most two, the old and the new one."},
              {"--role ROLE", "read (look), operate (put in, cancel, retry, delete jobs) or admin (settings too).", "read"},
              {"--json", "Print JSON."}},
             {"jobrt token create dashboard --role read", "jobrt token create ada --role admin --token-file /var/lib/jobrt/tokens"},
             create},
            {"token list", "Shows who has which token; the tokens themselves are not kept.", {{"--json", "Print JSON."}},
             {"jobrt token list"}, list},
            {"token revoke", "Takes a token away; an API that runs refuses it at once.",
             {{"ID", "The token's id, or its name when it has only one."}, {"--json", "Print JSON."}},
             {"jobrt token revoke 1f2e3d4c"}, revoke}};
}

}  // namespace jobruntime::jobrt
