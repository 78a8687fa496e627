//! A plot of seconds on a logarithmic axis, as SVG.

use std::fmt::Write as _;

use crate::figures::percentile;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 720.0;
const TOP: f64 = 46.0;
const STEP: f64 = 44.0;
/// The axis, in powers of ten of a second.
const DECADES: std::ops::RangeInclusive<i32> = -1..=3;

/// What is measured, once for each time.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) seconds: &'a [f64],
}

/// One line for each row, a dot for each value, a stroke and a number for the median. Colours are such that it can be read on white
/// and on black, and better where the viewer says which of them it is.
pub(super) fn plot(rows: &[Row]) -> String {
    let mut marks = String::new();
    let mut bottom = TOP;
    for row in rows {
        let y = bottom + STEP / 2.0;
        bottom += STEP;
        let median = percentile(&mut row.seconds.to_vec(), 0.5);
        let at = x(median);
        draw(
            &mut marks,
            format_args!(
                r#"<text class="ink" x="{:.0}" y="{:.0}" text-anchor="end">{}</text>"#,
                LEFT - 14.0,
                y + 5.0,
                row.name
            ),
        );
        for value in row.seconds {
            draw(
                &mut marks,
                format_args!(
                    r#"<circle class="dot" cx="{:.1}" cy="{y:.0}" r="5"/>"#,
                    x(*value)
                ),
            );
        }
        draw(
            &mut marks,
            format_args!(r#"<path class="median" d="M{at:.1} {:.0}v24"/>"#, y - 12.0),
        );
        draw(
            &mut marks,
            format_args!(
                r#"<text class="ink" x="{at:.1}" y="{:.0}" text-anchor="middle">{}</text>"#,
                y - 15.0,
                told(median)
            ),
        );
    }
    let mut grid = String::new();
    for decade in DECADES {
        let value = 10_f64.powi(decade);
        let at = x(value);
        draw(
            &mut grid,
            format_args!(
                r#"<path class="grid" d="M{at:.1} {:.0}V{bottom:.0}"/>"#,
                TOP - 12.0
            ),
        );
        draw(
            &mut grid,
            format_args!(
                r#"<text class="faint" x="{at:.1}" y="{:.0}" text-anchor="middle">{}</text>"#,
                bottom + 18.0,
                told(value)
            ),
        );
    }
    let height = bottom + 30.0;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>Seconds until a new pod runs after a rotation, on a logarithmic axis</title>
<style>
text {{ font: 14px system-ui, sans-serif; }}
.ink {{ fill: #6e7781; }} .faint {{ fill: #8b949e; font-size: 12px; }}
.grid {{ stroke: #8b949e; stroke-opacity: .35; }}
.dot {{ fill: #2f81f7; fill-opacity: .55; }} .median {{ stroke: #2f81f7; stroke-width: 3; }}
@media (prefers-color-scheme: light) {{ .ink {{ fill: #1f2328; }} .faint {{ fill: #59636e; }} }}
@media (prefers-color-scheme: dark) {{ .ink {{ fill: #e6edf3; }} .faint {{ fill: #9198a1; }} }}
</style>
<text class="faint" x="{LEFT}" y="16">seconds from the credential's arrival on the node until a new pod runs; one dot for each rotation</text>
{grid}{marks}</svg>
"#
    )
}

fn draw(to: &mut String, mark: std::fmt::Arguments) {
    let _infallible = writeln!(to, "{mark}");
}

fn x(seconds: f64) -> f64 {
    let (first, last) = (f64::from(*DECADES.start()), f64::from(*DECADES.end()));
    LEFT + (seconds.log10() - first) / (last - first) * (RIGHT - LEFT)
}

fn told(seconds: f64) -> String {
    if seconds < 9.95 && seconds.fract() != 0.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}
