// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/assembly.hpp"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <jobruntime/subprocess.hpp>

#include "core/read_file_linux.hpp"
#include "media/track_file.hpp"
#include "net/folders.hpp"

namespace jobruntime::media {
namespace {

namespace json = boost::json;

bool take_runs(const json::object& from, std::string_view name, std::vector<std::uint64_t>& into) {
    const auto* list = from.if_contains(name);
    if (!list || !list->is_array()) return false;
    for (const auto& one : list->get_array()) {
        if (!one.is_int64() || one.get_int64() < 0) return false;
        into.push_back(static_cast<std::uint64_t>(one.get_int64()));
    }
    return true;
}

bool take_pieces(const json::object& from, std::string_view name, std::vector<StreamPiece>& into) {
    const auto* list = from.if_contains(name);
    if (!list) return true;  // Written by a version that did not know them.
    if (!list->is_array()) return false;
    for (const auto& one : list->get_array()) {
        const auto* parts = one.if_array();
        if (!parts || parts->size() != 4 || !(*parts)[0].is_int64() || (*parts)[0].get_int64() < 0 ||
            !(*parts)[1].is_number() || !(*parts)[2].is_number() || !(*parts)[3].is_bool())
            return false;
        into.push_back({.end = static_cast<std::uint64_t>((*parts)[0].get_int64()),
                        .seconds = (*parts)[1].to_number<double>(),
                        .pause = (*parts)[2].to_number<double>(),
                        .exact = (*parts)[3].get_bool()});
    }
    return true;
}

}  // namespace

json::array list_of(const std::vector<StreamPiece>& pieces) {
    json::array list;
    for (const auto& piece : pieces) list.push_back({piece.end, piece.seconds, piece.pause, piece.exact});
    return list;
}

Result<void> write_assembly(const std::string& path, const Assembly& assembly) {
    const json::object object{
        {"seconds", assembly.seconds},
        {"tolerance", assembly.tolerance},
        {"gapSeconds", assembly.gap_seconds},
        {"runs", json::array(assembly.runs.begin(), assembly.runs.end())},
        {"pieces", list_of(assembly.pieces)},
        {"audio", assembly.audio},
        {"audioSeconds", assembly.audio_seconds},
        {"audioRuns", json::array(assembly.audio_runs.begin(), assembly.audio_runs.end())},
        {"audioPieces", list_of(assembly.audio_pieces)},
        {"audioApart", assembly.audio_apart}};
    const std::string text = json::serialize(object);
    const std::string name = path + std::string(parts_suffix);
    const Fd file(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return net::folder_error(errno, "write " + name);
    std::string_view rest = text;
    while (!rest.empty()) {
        const auto wrote = ::write(file.get(), rest.data(), rest.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return net::folder_error(errno, "write " + name);
        rest.remove_prefix(static_cast<std::size_t>(wrote));
    }
    if (::fsync(file.get()) != 0) return net::folder_error(errno, "flush " + name);
    return {};
}

Result<std::optional<Assembly>> read_assembly(const std::string& path) {
    const std::string name = path + std::string(parts_suffix);
    std::error_code missing;
    if (!std::filesystem::exists(name, missing)) return std::optional<Assembly>();
    const auto text = core::read_file(name);
    boost::system::error_code wrong;
    const auto value = text ? json::parse(*text, wrong) : json::value();
    const Error unreadable{Errc::corrupt, "MEDIA_IO",
                           "the description of a download, " + name + ", cannot be read"};
    if (!text || wrong || !value.is_object()) return unreadable;
    const auto& object = value.get_object();
    Assembly found;
    const auto number = [&object](std::string_view key) {
        const auto* member = object.if_contains(key);
        return member && member->is_number() ? member->to_number<double>() : 0.0;
    };
    const auto* audio = object.if_contains("audio");
    if (!take_runs(object, "runs", found.runs) || !take_runs(object, "audioRuns", found.audio_runs) ||
        !take_pieces(object, "pieces", found.pieces) || !take_pieces(object, "audioPieces", found.audio_pieces) || !audio || !audio->is_string() || found.runs.empty())
        return unreadable;
    found.audio = std::string_view(audio->get_string());
    if (found.audio.find('/') != std::string::npos) return unreadable;
    found.seconds = number("seconds");
    found.tolerance = number("tolerance");
    found.gap_seconds = number("gapSeconds");
    found.audio_seconds = number("audioSeconds");
    const auto* apart = object.if_contains("audioApart");
    found.audio_apart = apart && apart->is_bool() && apart->get_bool();
    return std::optional(std::move(found));
}

void discard_stream(const std::string& path) {
    ::unlink((path + std::string(parts_suffix)).c_str());
    remove_track(path + ".stream");
    remove_track(path + std::string(audio_suffix));
}

}  // namespace jobruntime::media
