// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/api_router.hpp>
#include <jobruntime/heartbeat.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "dashboard.hpp"
#include "disks.hpp"
#include "media_api.hpp"
#include "parts.hpp"
#include "platform_config.hpp"
#include "platforms.hpp"
#include "reload.hpp"
#include "stores.hpp"
#include "token_check.hpp"

namespace jobruntime::host {
namespace {

http::Limits limits_of(const Config& config) {
    http::Limits limits;
    limits.connections = config.max_connections;
    limits.streams = config.max_streams;
    limits.client_connections = config.client_connections;
    limits.client_streams = config.client_streams;
    limits.client_rate = config.rate_limit;
    limits.rate = config.max_rate;
    limits.trusted_proxies = config.trusted_proxies;
    return limits;
}

Result<std::vector<net::Network>> networks(const Config& config) {
    auto nets = net::Network::parse_list(joined(config.allow_nets));
    if (!nets)
        return Error{Errc::invalid_argument, "INVALID_CONFIGURATION", "JOBRT_ALLOW_NETS is refused: " + nets.error().message};
    return nets;
}

class ApiPart final : public Part {
public:
    explicit ApiPart(Process& process)
        : process_(process), config_(process.in.config), queue_(process.store, {&process.clock, &process.sink, {}}),
          flags_(process.store, config_) {}

    Result<void> start() override {
        auto nets = networks(config_);
        if (!nets) return std::move(nets).error();
        if (!config_.token_file.empty()) {
            tokens_ = std::make_unique<TokenCheck>(config_.token_file,
                                                   [&log = process_.in.log](std::string_view line) { log.error(line); },
                                                   [this](const Token& token, bool made) { tell_of(token, made); });
            JR_TRY(tokens_->start());
        }
        net::FetcherOptions fetcher;
        fetcher.allow_nets = *std::move(nets);
        auto sites = MediaConfig::from(config_, names_of(process_.in.setup.extractors));
        if (!sites) return std::move(sites).error();
        media_ = std::make_unique<MediaApi>(queue_, flags_, std::move(fetcher), config_.download_dir, sites->rules());
        router_ = std::make_unique<ApiRouter>(queue_, router_options());
        media_->add_routes(*router_);
        add_dashboard(*router_);
        router_->keep_stats();
        server_ = std::make_unique<http::Server>(*router_, process_.store, server_options());
        JR_TRY(server_->start());
        if (config_.role != ProcessRole::api) return {};  // The worker of this process says that it lives.
        heartbeat_ = std::make_unique<Heartbeat>(process_.store, heartbeat_options());
        if (auto beaten = heartbeat_->start(); !beaten) process_.in.log.warn(beaten.error().message);
        return {};
    }

    void stop() override {
        if (server_) server_->stop();
        if (heartbeat_) heartbeat_->stop();
    }

    void stop_now() override {
        if (server_) server_->stop_now();
    }

    Result<std::function<void()>> prepare(const Config& fresh) override {
        auto limits = limits_of(fresh);
        JR_TRY(http::Server::check_limits(limits));
        auto sites = MediaConfig::from(fresh, names_of(process_.in.setup.extractors));
        if (!sites) return std::move(sites).error();
        if (auto nets = networks(fresh); !nets) return std::move(nets).error();
        std::size_t valid = 0;
        if (tokens_) {
            // They count as they are in the file at any moment; a reload only says whether it is in order.
            auto count = tokens_->count();
            if (!count) return std::move(count).error();
            valid = *count;
        }
        return std::function<void()>([this, fresh, valid, limits = std::move(limits), rules = sites->rules()] {
            if (tokens_) process_.in.log.info(std::to_string(valid) + " access tokens are valid");
            (void)server_->set_limits(limits).has_value();  // They were checked.
            router_->set_allowed({host_names(fresh), fresh.allowed_origins, fresh.cors_origins});
            flags_.take(fresh);
            floor_ = fresh.min_free_bytes;
            media_->set_platforms(rules);
        });
    }

    /// Of the API itself; in a combined process the worker's heartbeat is watched, and this only counts along.
    std::uint64_t pulse() override { return heartbeat_ ? heartbeat_->rounds() : ++asked_; }

    std::vector<std::string> urls() const override { return server_->urls(); }

private:
    /// Who made or revoked it is not known here: it was done to the file.
    void tell_of(const Token& token, bool made) const {
        Event event;
        event.at = process_.clock.wall();
        event.name = made ? "api.token.created" : "api.token.revoked";
        event.fields = {{"tokenId", token.id}, {"name", redact(token.name)}, {"tokenRole", to_string(token.role)}};
        process_.sink.emit(event, false);
    }

    ApiOptions router_options() const {
        ApiOptions options;
        options.service = process_.in.setup.name;
        options.version = JOBRUNTIME_VERSION;
        options.role = std::string(to_string(config_.role));
        options.lease = config_.lease;
        options.stale_after = config_.stale;
        options.allowed_hosts = host_names(config_);
        options.sink = &process_.sink;
        if (tokens_) options.authenticate = [this](std::string_view token) { return tokens_->caller(token); };
        options.allowed_origins = config_.allowed_origins;
        options.cors_origins = config_.cors_origins;
        options.clock = &process_.clock;
        options.store_hint = store_hint();
        options.status["store"] = store_name(config_);
        options.status["startedAt"] = process_.started_at;
        options.status_now = [this](boost::json::object& status) { status["disks"] = store_disk(config_, floor_); };
        options.log = [&log = process_.in.log](std::string_view line) { log.error(line); };
        media_->prepare(options);
        return options;
    }

    std::vector<std::string> host_names(const Config& config) const {
        auto names = config.allowed_hosts;
        // Only a name can be turned on another address by its owner; the address that is bound is its own proof.
        for (const auto& address : config_.bind_addresses)
            if (!address.starts_with("unix:"))
                names.push_back(address.find(':') == std::string::npos ? address : "[" + address + "]");
        return names;
    }

    /// For callers of the API: the hosts of a server help them, files of this machine are not theirs to know, be it
    /// the store, the .env file that names it, or a certificate in the URI's options.
    std::string store_hint() const {
        const auto variable = config_.store_variable.substr(0, config_.store_variable.find(' '));
        if (!is_mongo(config_.store)) return "check " + variable;
        const auto name = store_name(config_);
        return "check " + variable + " (" + name.substr(0, name.find('?')) + ")";
    }

    http::Options server_options() const {
        http::Options options;
        options.port = config_.port;
        if (!config_.bind_addresses.empty()) options.addresses = config_.bind_addresses;
        options.socket_mode = config_.socket_mode;
        options.limits = limits_of(config_);
        options.grace = config_.grace;
        options.clock = &process_.clock;
        // It speaks of trouble only: an address that is not there, no descriptors left, a store that no stream can read.
        options.log = [&log = process_.in.log](std::string_view line) { log.warn(line); };
        return options;
    }

    HeartbeatOptions heartbeat_options() const {
        HeartbeatOptions options;
        options.beat = config_.heartbeat;
        options.lease = config_.lease;
        options.clock = &process_.clock;
        options.facts.role = std::string(to_string(config_.role));
        options.facts.version = JOBRUNTIME_VERSION;
        options.facts.details = {{"store", store_name(config_)}, {"telemetrySink", sink_name(config_)}};
        return options;
    }

    Process& process_;
    const Config& config_;
    JobQueue queue_;
    PlatformFlags flags_;
    std::unique_ptr<TokenCheck> tokens_;
    std::unique_ptr<MediaApi> media_;
    std::unique_ptr<ApiRouter> router_;
    std::unique_ptr<Heartbeat> heartbeat_;
    std::uint64_t asked_ = 0;
    std::atomic<std::uint64_t> floor_{config_.min_free_bytes};
    std::unique_ptr<http::Server> server_;  // Last: it is stopped before what it serves.
};

}  // namespace

std::unique_ptr<Part> make_api_part(Process& process) { return std::make_unique<ApiPart>(process); }

}  // namespace jobruntime::host
