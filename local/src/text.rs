//! Prose as it stands on a terminal: lines are broken between words, and go on below the word that they began with.

use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Columns in which a label may stand: those of `  attempt 10  `, and of the states of `doctor`.
const LABEL_MAX: usize = 14;
/// What divides a command from what is said about it.
const REMARK: &str = "    (";
/// Goes on with a command in the next line, for a shell.
const GOES_ON: &str = " \\";
/// Stands for a space that no line may end with; from the private use area, so that no text has it.
const FIXED_SPACE: &str = "\u{e000}";

/// The text with no line wider than `width` columns, but for words that are wider: paths and addresses stay whole, so that they can be copied.
/// What is piped has no width, and stays as it is.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| if display_width(line) <= width { line.to_owned() } else { broken(line, width) })
        .collect();
    lines.join("\n")
}

/// A line that is too wide.
fn broken(line: &str, width: usize) -> String {
    let (head, value) = line.split_at(label(line));
    // Nothing is won by a column of a few letters.
    let indent = " ".repeat(display_width(head).min(width / 2));
    if !head.is_empty() && is_command(value) {
        return command(head, value, &indent, width);
    }
    filled(value, head, &indent, width).join("\n")
}

/// Where the value of a line begins: behind its label and two spaces at least, or else behind its indentation.
fn label(line: &str) -> usize {
    let begin = line.len() - line.trim_start().len();
    let Some(gap) = line[begin..].find("  ").map(|gap| begin + gap).filter(|gap| *gap <= LABEL_MAX) else {
        return begin;
    };
    line.len() - line[gap..].trim_start().len()
}

fn is_command(value: &str) -> bool {
    ["dropcollect ", "POLL_QUEUE_URL=", "aws "].iter().any(|begin| value.starts_with(begin))
}

/// A command that is broken as a shell takes it, with the remark about it below.
fn command(head: &str, value: &str, indent: &str, width: usize) -> String {
    let (command, remark) = match value.find(REMARK) {
        Some(at) => (&value[..at], value[at..].trim_start()),
        None => (value, ""),
    };
    let mut quoted = false;
    let fixed: String = command
        .split_inclusive(['\'', ' '])
        .map(|part| {
            // Outside of quotes `\'` is a letter.
            quoted ^= part.ends_with('\'') && (quoted || part != "\\'");
            if quoted { part.replace(' ', FIXED_SPACE) } else { part.to_owned() }
        })
        .collect();
    let whole = display_width(head) + display_width(command) <= width;
    let room = if whole { width } else { width.saturating_sub(GOES_ON.len()) };
    let mut text = filled(&fixed, head, indent, room).join(&format!("{GOES_ON}\n")).replace(FIXED_SPACE, " ");
    for line in if remark.is_empty() { Vec::new() } else { filled(remark, indent, indent, width) } {
        text.push('\n');
        text.push_str(&line);
    }
    text
}

fn filled(text: &str, first: &str, indent: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(std::borrow::Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = "products.csv: complete, with failures
  rows        296 read = 2 rejected + 4 duplicates + 281 with records + 5 without a record + 4 failed
  output      data/output/products.csv/dc7a79b27566887a (3 files)
  because     ragged_row (2 times, from line 144): the row has 3 cells, but the header has 5
              dead_page (2 times, from line 159): Crawler error: The page does not exist
  next        dropcollect why dc7a79b27566887a 144 --data data
              dropcollect retry dc7a79b27566887a --data data    (says what failed, and what may succeed)";

    #[test]
    fn what_is_piped_stays_as_it_is() {
        assert_eq!(wrapped(RESULT, None), RESULT);
        assert_eq!(wrapped(RESULT, Some(140)), RESULT);
    }

    #[test]
    fn lines_go_on_below_their_value() {
        assert_eq!(
            wrapped(RESULT, Some(79)),
            "products.csv: complete, with failures
  rows        296 read = 2 rejected + 4 duplicates + 281 with records + 5
              without a record + 4 failed
  output      data/output/products.csv/dc7a79b27566887a (3 files)
  because     ragged_row (2 times, from line 144): the row has 3 cells, but the
              header has 5
              dead_page (2 times, from line 159): Crawler error: The page does
              not exist
  next        dropcollect why dc7a79b27566887a 144 --data data
              dropcollect retry dc7a79b27566887a --data data
              (says what failed, and what may succeed)"
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_paths_whole_and_commands_in_one_piece_for_a_shell() {
        let narrow = wrapped(RESULT, Some(39));
        for lines in [
            "  rows        296 read = 2 rejected + 4\n              duplicates + 281 with\n",
            "  output      data/output/products.csv/dc7a79b27566887a\n              (3 files)\n",
            "  next        dropcollect why \\\n              dc7a79b27566887a 144 \\\n              --data data\n",
        ] {
            assert!(narrow.contains(lines), "{lines:?} is not in\n{narrow}");
        }
        let command = "  next        dropcollect run 'data/failed/a list.txt/0123456789abcdef/failed.txt'    (once it is corrected)";
        assert_eq!(
            wrapped(command, Some(60)),
            "  next        dropcollect run \\
              'data/failed/a list.txt/0123456789abcdef/failed.txt'
              (once it is corrected)"
        );
    }

    #[test]
    fn prose_goes_on_below_its_indentation() {
        assert_eq!(
            wrapped("problem  token: it is not set\n         -> set it to an API key", Some(24)),
            "problem  token: it is\n         not set\n         -> set it to an\n         API key"
        );
        assert_eq!(
            wrapped("dropcollect: url.txt: there is no such file\n", Some(30)),
            "dropcollect: url.txt: there is\nno such file\n"
        );
        // Colours and wide letters take the columns that they take.
        assert_eq!(
            wrapped("\x1b[31m日本語\x1b[0m \x1b[31m日本語\x1b[0m", Some(13)),
            "\x1b[31m日本語\x1b[0m \x1b[31m日本語\x1b[0m"
        );
    }

    #[test]
    fn no_line_is_wider_than_its_longest_word_wants() {
        for width in 1..120 {
            let text = wrapped(RESULT, Some(width));
            for line in text.lines().filter(|line| display_width(line) > width) {
                let words = line.trim().trim_end_matches(GOES_ON).split(' ').filter(|word| !word.is_empty()).count();
                assert!(words <= 1 || label(line) > 0 && words <= 3, "{width}: {line:?}");
            }
            let words =
                |text: &str| text.replace(" \\\n", " ").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&text), words(RESULT), "{width}");
        }
    }
}
