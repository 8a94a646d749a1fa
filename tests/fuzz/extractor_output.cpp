// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "core/json.hpp"
#include "core/utf8.hpp"
#include "extract/command_protocol.hpp"
#include "extract/info_dict.hpp"
#include "extract/media_url.hpp"
#include "fuzz.hpp"
#include "net/lookup.hpp"

namespace jobruntime::fuzz {
namespace {

/// What an extractor answers is kept as text between two steps of a job.
void expect_kept(MediaInfo info) {
    info.cookies.clear();  // They never are.
    const auto text = boost::json::serialize(to_json(info));
    const auto read = core::parse_json_object(text);
    expect(read.has_value(), "an answer cannot be kept: " + text);
    auto again = media_info_from(*read);
    expect(again.has_value() && again->sources.size() == info.sources.size(), "an answer is kept as another: " + text);
    // Boost does not read the last digit of every number as it wrote it.
    const auto settle = [&](double& number, double wanted) {
        if (std::abs(number - wanted) <= 1e-12 * std::abs(wanted)) number = wanted;
    };
    if (again->duration && info.duration) settle(*again->duration, *info.duration);
    for (std::size_t i = 0; i < info.sources.size(); ++i) settle(again->sources[i].tbr, info.sources[i].tbr);
    expect(*again == info, "an answer is kept as another: " + text);
}

void expect_good(const MediaInfo& info) {
    expect(!info.duration || std::isfinite(*info.duration), "an endless duration");
    for (const auto& source : info.sources) {
        expect(!source.url.empty() && source.width >= 0 && source.height >= 0, "a source smaller than nothing");
        expect(std::isfinite(source.tbr), "an endless bit rate");
        expect(!source.filesize || *source.filesize > 0, "a file smaller than nothing");
    }
}

/// Whether vetting asks nobody for a name.
bool is_numeric(const std::string& address) {
    return !extract::is_http_url(address) || net::known_addresses(extract::url_host(address)).has_value();
}

void expect_vetted(MediaInfo info, const ExtractRequest& request) {
    if (!std::ranges::all_of(info.sources, [](const auto& source) {
            return is_numeric(source.url) && (!source.sound || is_numeric(source.sound->url));
        }))
        return;
    if (!is_numeric(info.thumbnail) || !is_numeric(info.webpage_url)) return;
    const std::vector<net::Network> allowed = *net::Network::parse_list("10.0.0.0/8");
    extract::HostVetter vetter(allowed);
    const bool had_one = !info.sources.empty();
    const auto vetted = extract::vet_info(info, request, vetter, std::chrono::steady_clock::now() + std::chrono::seconds(5), {});
    expect(!had_one || vetted.has_value() == !info.sources.empty(), "sources are neither kept nor refused");
    const auto expect_fit = [&](const std::string& address, const std::map<std::string, std::string>& headers) {
        expect_canonical(address);
        const auto host = net::parse_url(address, net::max_fetch_url)->host;
        expect(net::vet(host, allowed).has_value(), "a source at a private address: " + address);
        for (const auto& [name, value] : headers)
            expect((name + value).find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, "a header ends its line");
    };
    for (const auto& source : info.sources) {
        expect(source.protocol != MediaProtocol::file, "a file of no folder");
        expect_fit(source.url, source.http_headers);
        if (source.sound) expect_fit(source.sound->url, source.sound->http_headers);
    }
    for (const auto* text : {&info.title, &info.author, &info.id, &info.published})
        expect(core::is_utf8(*text) && text->find('\n') == std::string::npos && text->find("\xc2\x9b") == std::string::npos &&
                   text->size() <= 1000,
               "a text is not one line");
}

void expect_info(const Result<MediaInfo>& info, const ExtractRequest& request) {
    expect(info || !info.error().name.empty(), "an error without a name");
    if (!info) return;
    expect_good(*info);
    expect_kept(*info);
    expect_vetted(*info, request);
}

}  // namespace

/// The lines of a program's output; each is tried as an info dict, too.
void extractor_output(std::string_view input) {
    ExtractRequest request;
    request.url = "https://site.example/post/1";
    request.platform = "web";
    request.job_id = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    request.progress = [](std::optional<double> percent, std::string_view message) {
        expect(!percent || (*percent >= 0 && *percent <= 100), "progress beyond the whole");
        expect(message.size() <= 200 && core::is_utf8(message), "a message that is no text");
    };
    extract::CommandAnswer answer(request, [](std::string_view line) {
        expect(line.size() <= 2000 && core::is_utf8(line), "a line of the log that is no text");
    });
    int lines = 0;
    for (auto rest = input; !rest.empty() && lines < 50; ++lines) {
        const auto line = take_line(rest);
        const auto taken = answer.take(line);
        expect(taken || core::is_utf8(taken.error().message), "an error that is no text");
        if (const auto dict = core::parse_json_object(line))
            for (const int nth : {0, 1, 2}) expect_info(extract::info_from_dict(*dict, nth), request);
    }
    expect(answer.answered() == (answer.answers() > 0 && answer.answer().has_value()) || answer.garbage(), "an answer is lost");
    if (const auto info = answer.answer()) expect_info(*info, request);
}

}  // namespace jobruntime::fuzz
