//! Arrays as views of a storage: a shape, and a stride for each axis.

/// How many numbers of its storage a view reaches over, from its first to its last, if that can be
/// counted.
pub(super) fn extent(shape: &[usize], strides: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let mut last = 0_u64;
    for (&extent, &stride) in shape.iter().zip(strides) {
        last = last.checked_add((extent as u64 - 1).checked_mul(stride)?)?;
    }
    last.checked_add(1)
}

/// The numbers of a view in row-major order, out of those that it reaches over; `None` if it has
/// more, which it can only by repeating some.
pub(super) fn gathered(values: Vec<f32>, shape: &[usize], strides: &[u64]) -> Option<Vec<f32>> {
    let count = shape.iter().try_fold(1_usize, |count, &it| count.checked_mul(it))?;
    if values.len() < count {
        return None;
    }
    let mut expected = 1;
    let is_contiguous = shape.iter().zip(strides).rev().all(|(&extent, &stride)| {
        let fits = extent == 1 || stride == expected;
        expected *= extent as u64;
        fits
    });
    if is_contiguous {
        return Some(values);
    }
    let mut gathered = Vec::with_capacity(count);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let place: u64 = index.iter().zip(strides).map(|(&it, &stride)| it * stride).sum();
        gathered.push(*values.get(usize::try_from(place).ok()?)?);
        for (axis, &extent) in shape.iter().enumerate().rev() {
            index[axis] += 1;
            if index[axis] < extent as u64 {
                break;
            }
            index[axis] = 0;
        }
    }
    Some(gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_gathered_in_row_major_order() {
        let values: Vec<f32> = (0..6_u8).map(f32::from).collect();
        assert_eq!(extent(&[2, 3], &[3, 1]), Some(6));
        assert_eq!(gathered(values.clone(), &[2, 3], &[3, 1]).unwrap(), values);
        let transposed = gathered(values.clone(), &[3, 2], &[1, 3]).unwrap();
        assert_eq!(transposed, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(extent(&[0, 3], &[3, 1]), Some(0));
    }

    #[test]
    fn claims_beyond_the_numbers_are_refused() {
        assert_eq!(gathered(vec![1.0], &[1000, 1000], &[0, 0]), None);
        assert_eq!(gathered(vec![1.0; 4], &[2, 2], &[4, 1]), None);
        assert_eq!(extent(&[3, 3], &[u64::MAX, 1]), None);
        assert_eq!(gathered(vec![1.0; 4], &[usize::MAX, 2], &[1, 1]), None);
    }
}
