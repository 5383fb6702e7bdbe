// CUDA C++ as C++: comments go, dynamic shared memory becomes a pointer, and each kernel gets an entry
// (include/entry.h).
#include <regex>
#include <sstream>

#include "nvrtc.h"

namespace cuda_on_cpu {

// Comments become blanks (lines stay), so that what is searched for below is code.
static std::string without_comments(const std::string &text) {
  std::string out = text;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' || (text[i] == '\'' && !(i && isalnum(text[i - 1])))) {
      const char quote = text[i];
      while (++i < text.size() && text[i] != quote)
        if (text[i] == '\\') ++i;
    } else if (!text.compare(i, 2, "//")) {
      while (i < text.size() && text[i] != '\n') out[i++] = ' ';
    } else if (!text.compare(i, 2, "/*")) {
      for (const size_t end = text.find("*/", i + 2); i < text.size() && i < end + 2; ++i)
        if (text[i] != '\n') out[i] = ' ';
      --i;
    }
  }
  return out;
}

// For each parameter of the list that begins at `at`: 1 where it is const, so that the race checker knows who only
// reads.
static std::string constants(const std::string &code, size_t at) {
  std::string found;
  int depth = 0;
  for (bool first = true; at < code.size() && !(code[at] == ')' && !depth); ++at) {
    const char c = code[at];
    if (c == '<' || c == '(' || c == '[') ++depth;
    if (c == '>' || c == ')' || c == ']') --depth;
    if (first && !isspace(c)) {
      found += code.compare(at, 6, "const ") ? '0' : '1';
      first = false;
    }
    if (c == ',' && !depth) first = true;
  }
  return found;
}

static std::string entry(const std::string &name, bool barriers, const std::string &bound, const std::string &reads,
                         const std::string &kernel) {
  return "CUDA_ON_CPU_ENTRY(" + name + ", " + (barriers ? "true" : "false") + ", " + bound + ", \"" + reads + "\", " +
         kernel + ")\n";
}

std::string translate(Program &program, const Command &command) {
  static const std::regex dynamic(
      R"(extern\s+__shared__\s+(?:__align__\s*\([^)]*\)\s*)?([\w:<>, ]+?)\s+(\w+)\s*\[\s*\]\s*;)");
  static const std::regex barrier(
      R"(__sync(threads|warp)|__shfl|__ballot|__any_sync|__all_sync|__activemask|__reduce_\w+_sync|__match_|cooperative_groups)");
  static const std::regex kernel(
      R"((template\s*<[^{};]*>\s*)?(?:extern\s*"C"\s*)?__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\(\s*(\w+)[^)]*\)\s*)?(?:void\s+)?(\w+)\s*\()");
  std::string code =
      std::regex_replace(without_comments(program.source), dynamic, "$1 *$2 = ($1 *)cuda_on_cpu::dynamic_shared;");
  const bool barriers = std::regex_search(code, barrier);
  const std::string header = "#include \"cuda_on_cpu.h\"\n";
  std::ostringstream out;
  // A header that was compiled beforehand has to come first.
  out << (command.compiled_header ? header + command.defines : command.defines + header);
  out << "#line 1 \"" << (program.name.empty() ? "kernel.cu" : program.name) << "\"\n";
  out << code << "\n#line 1 \"entries\"\n";
  for (std::sregex_iterator it(code.begin(), code.end(), kernel), end; it != end; ++it)
    if (const auto &match = *it; !match[1].matched)  // templates are named by expressions
      out << entry(match[3], barriers, match[2].matched ? match[2].str() : "0",
                   constants(code, match.position() + match.length()), match[3]);
  program.lowered.clear();
  for (size_t i = 0; i < program.expressions.size(); ++i) {
    program.lowered.push_back("expression_" + std::to_string(i));
    out << entry(program.lowered.back(), barriers, "0", "", program.expressions[i]);
  }
  return out.str();
}
}  // namespace cuda_on_cpu
