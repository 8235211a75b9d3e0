// The probe interface is a contract: what the ELF notes of a program say must be what probes.def says, in a
// form that libbpf 1.1 and bpftrace can read; and probes.def may only grow at the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bpf/event_info.h"
#include "bpf/events.h"
#include "bpf/sdt_notes.h"
#include "tests/unit/bpf/probe_fire.h"
#include "tests/unit/vmm/base/temp_dir.h"

namespace glassbox::bpf {
namespace {

constexpr std::uint8_t kNop = 0x90;

std::map<std::string, const EventInfo*> declared_probes() {
  std::map<std::string, const EventInfo*> declared;
  for (const EventInfo& info : probes())
    declared[std::string(info.name)] = &info;
  return declared;
}

void expect_note_as_declared(const SdtNote& note, const EventInfo& info) {
  SCOPED_TRACE(note.name);
  EXPECT_NE(note.base, 0u) << "the linker threw .stapsdt.base away";
  EXPECT_EQ(note.semaphore, 0u);
  EXPECT_EQ(note.site_byte, kNop);
  ASSERT_EQ(note.arguments.size(), info.arguments.size());
  for (std::size_t i = 0; i < note.arguments.size(); ++i) {
    const std::string& argument = note.arguments[i];
    SCOPED_TRACE(argument);
    EXPECT_EQ(std::stoi(argument.substr(0, argument.find('@'))), note_size(info.arguments[i].type));
    EXPECT_THAT(argument,
                testing::MatchesRegex(R"(-?[248]@(\$-?[0-9]+|%[a-z0-9]+|(-?[0-9]+)?\(%r[a-z0-9]+\)))"))
        << "neither immediate, register nor register with displacement: libbpf 1.1 cannot read it";
    EXPECT_EQ(argument.find("%rip"), std::string::npos)
        << "relative to the instruction: libbpf 1.1 cannot read it";
  }
}

void expect_program_has_all_probes(const std::string& path) {
  const auto notes = read_sdt_notes(path);
  ASSERT_TRUE(notes) << notes.error().message;
  const auto declared = declared_probes();
  std::set<std::string> seen;
  for (const SdtNote& note : *notes) {
    if (note.provider != "glassbox") continue;
    ASSERT_TRUE(declared.contains(note.name)) << note.name << " is not in probes.def";
    expect_note_as_declared(note, *declared.at(note.name));
    seen.insert(note.name);
  }
  for (const auto& [name, info] : declared)
    EXPECT_TRUE(seen.contains(name)) << name << " is nowhere in " << path;
}

TEST(ProbeAbi, EmittersMakeTheDeclaredNotes) {
  fire_all_probes();  // keeps the emitters in this program
  expect_program_has_all_probes("/proc/self/exe");
}

TEST(ProbeAbi, MonitorHasEveryProbe) {
  if (access(GLASSBOX_PROGRAM, R_OK) != 0) GTEST_SKIP() << "the monitor is not built: " GLASSBOX_PROGRAM;
  expect_program_has_all_probes(GLASSBOX_PROGRAM);
}

// Every line of the golden file must still be there, in its place and with its arguments in their order;
// probes and arguments may have been added behind. After adding, add to the golden file too.
TEST(ProbeAbi, GrowsAtTheEndOnly) {
  std::ifstream golden(PROBES_GOLDEN);
  ASSERT_TRUE(golden) << PROBES_GOLDEN;
  std::size_t at = 0;
  for (std::string line; std::getline(golden, line); ++at) {
    ASSERT_LT(at, probes().size()) << line;
    std::string now = fmt::format("{} {}", probes()[at].kind, probes()[at].name);
    for (const ArgumentInfo& argument : probes()[at].arguments) {
      now += fmt::format(" {}:{}", argument.name, argument.type);
    }
    EXPECT_TRUE((now + " ").starts_with(line + " ")) << "was: " << line << "\nnow: " << now;
  }
  EXPECT_EQ(at, probes().size()) << "the golden file lacks the newest probes";
}

TEST(ProbeAbi, KindsAreUniqueAndInTheirRanges) {
  std::set<std::uint16_t> kinds;
  for (const EventInfo& info : probes()) {
    EXPECT_TRUE(kinds.insert(info.kind).second) << info.name;
    EXPECT_LT(info.kind, 64) << info.name;
  }
  for (const EventInfo& info : kernel_events()) {
    EXPECT_TRUE(kinds.insert(info.kind).second) << info.name;
    EXPECT_GE(info.kind, 64) << info.name;
    EXPECT_LT(info.kind, GB_KIND_LIMIT) << info.name;
    EXPECT_LE(info.arguments.size(), static_cast<std::size_t>(GB_EVENT_ARGS)) << info.name;
    EXPECT_EQ(find_event(info.kind), &info);
  }
  EXPECT_EQ(find_event(GB_KIND_NONE), nullptr);
  EXPECT_EQ(sizeof(gb_event), 128u);
}

// Two notes in this very program: a USDT one, which is of type 3, and one of a type that may mean anything.
asm(R"(
  .pushsection .note.stapsdt, "", "note"
  .balign 4
  .4byte 8, 4, 4
  .asciz "stapsdt"
  .4byte 0xffffffff
  .4byte 8, 2f - 1f, 3
  .asciz "stapsdt"
1:.8byte 1, 2, 3
  .asciz "elsewhere"
  .asciz "of_the_type"
  .asciz "-4@%eax 8@$17"
2:.balign 4
  .popsection
)");

TEST(SdtNotes, NotesOfAnotherTypeArePassedOver) {
  const auto notes = read_sdt_notes("/proc/self/exe");
  ASSERT_TRUE(notes) << notes.error().message;
  std::vector<SdtNote> ours;
  std::copy_if(notes->begin(), notes->end(), std::back_inserter(ours),
               [](const SdtNote& note) { return note.provider == "elsewhere"; });
  ASSERT_EQ(ours.size(), 1U);
  EXPECT_EQ(ours[0].name, "of_the_type");
  EXPECT_EQ(ours[0].site, 1U);
  EXPECT_EQ(ours[0].semaphore, 3U);
  EXPECT_EQ(ours[0].site_byte, 0) << "nothing is loaded there";
  EXPECT_EQ(ours[0].arguments, (std::vector<std::string>{"-4@%eax", "8@$17"}));
}

// This program with the note of that type changed.
TEST(SdtNotes, DamagedNotesAreErrors) {
  std::ifstream self("/proc/self/exe", std::ios::binary);
  const std::string program{std::istreambuf_iterator<char>(self), {}};
  // From the type on; the descriptor's length is before it.
  const std::string head("\3\0\0\0stapsdt\0\1\0\0\0\0\0\0\0", 20);
  const std::size_t type = program.rfind(head);  // the first is the line above
  ASSERT_NE(type, std::string::npos);
  const std::size_t length = type - 4;
  const std::size_t arguments = program.find("-4@%eax", type);
  const test::TempDir directory;
  const auto damaged = [&](std::size_t at, const std::string& bytes) {
    std::string changed = program;
    changed.replace(at, bytes.size(), bytes);
    const auto notes = read_sdt_notes(directory.write("program", changed));
    return !notes && notes.error().message.find("damaged") != std::string::npos;
  };
  EXPECT_FALSE(damaged(type, std::string("\4\0\0\0", 4)));
  // 16 bytes of descriptor, and one more note in the other 44: otherwise what follows would be damaged as
  // well.
  std::string brief = program.substr(length, 4 + 4 + 8 + 16);
  brief[0] = 16;
  EXPECT_TRUE(damaged(length, brief + std::string("\0\0\0\0\40\0\0\0\11\0\0\0", 12)))
      << "no room for three addresses";
  EXPECT_TRUE(damaged(length, std::string("\xff\xff\xff\x7f", 4))) << "longer than the section";
  EXPECT_TRUE(damaged(arguments, std::string(14, '%'))) << "a string without an end";
}

TEST(SdtNotes, ForeignFilesAreErrors) {
  EXPECT_THAT(read_sdt_notes("/nonexistent/program").error().message,
              testing::HasSubstr("/nonexistent/program"));
  EXPECT_THAT(read_sdt_notes("/etc/passwd").error().message, testing::HasSubstr("not an ELF program"));
}

}  // namespace
}  // namespace glassbox::bpf
